"""The bounds of reading one page. Apart from the reader, so that the application imports no parser."""

CPU_SECONDS = 5
MEMORY = 512 * 2**20  # bytes of address space
