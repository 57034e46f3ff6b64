"""What the reading of one page may cost. Apart from the reader, so that the application needs no parser."""

CPU_SECONDS = 5
MEMORY = 512 * 2**20  # bytes of address space
