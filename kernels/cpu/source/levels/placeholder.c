// Compiled once for every level of instructions.

#define JOIN_(name, level) name##_##level
#define JOIN(name, level) JOIN_(name, level)

int JOIN(placeholder, LEVEL)(void) { return 0; }
