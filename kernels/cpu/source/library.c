// What the library says of itself.

#define EXPORT __attribute__((visibility("default")))

// The version of the interface: ABI in library.py. A change of any exported function's meaning or arguments
// changes both.
EXPORT int gptoss_abi(void) { return 1; }
