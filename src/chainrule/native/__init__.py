"""How Python becomes machine code: kernels, the microkernel, vector math, counter-based random numbers, workers."""
