"""What works on this machine: ``doctor()`` tries each thing that mueca needs or can use, and says what to do.

A check that loads other people's native code runs in a process of its own: what kills or stops that process costs its
own lines alone. Nothing is downloaded, and no result names the machine or its user.
"""

from mueca.diagnosis.checking import Finding
from mueca.diagnosis.examining import Diagnosis, doctor

__all__ = ["Diagnosis", "Finding", "doctor"]
