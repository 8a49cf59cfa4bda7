"""The few hot loops, each beside a plain torch reference that a test holds it to.

Nothing outside this folder holds low-level code. Kernels own their output rows, so the same input gives the
same bits at the same number of threads.
"""
