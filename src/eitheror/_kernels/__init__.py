"""Compiled inner loops (Numba) and the arrays they share: arrays in, arrays out.

Nothing is imported here, so that `rows` can be used without starting Numba; each kernel module is
imported by the one module that calls it, at the moment it is needed. All kernels release the
global interpreter lock and are cached on disk; no array is ever rebound inside a hot loop.
"""
