"""Compiled kernels (optional). Built from C at installation; found here, loaded by ``consensus.arithmetic.library``."""
