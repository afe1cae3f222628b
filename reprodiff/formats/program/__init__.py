"""Programs, whatever file format they are in: sections with addresses, functions and objects in them, code that refers.

Two files are mapped onto each other piece by piece: `sides` is asked what corresponds to what, `maps` and what each format
has of its own above it make that when it is first asked for. A word that differs is asked whether it is an address
of the same thing on both sides. ELF, PE and Mach-O files are read elsewhere and come here as `image.Program`; numbers and
flags of sections are those of ELF for all of them.
"""
