// A program that uses the library as it ships, on processors that this machine is not: `make emulate`.

#include <stdio.h>

int gptoss_abi(void);

int main(void) { return printf("version %d\n", gptoss_abi()) < 0; }
