"""The step of ``paper`` on one GPU, arranged so that the GPU is never idle: the same mathematics as ``mueca.gan``.

At batch 1 a step is hundreds of kernels of a few microseconds, most of which fill a fraction of the GPU. Three things
shorten it: what does not depend on each other runs side by side (``lanes``, ``step``), what is one pass over memory is
one kernel (``kernels``, ``layers``), and the convolutions of few channels are matrix products (``convolutions``).
``networks`` are the networks made of these. docs/performance.md tells what each brought.
"""

from mueca.tuned.step import TunedStep, is_tunable

__all__ = ["TunedStep", "is_tunable"]
