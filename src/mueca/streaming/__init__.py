"""live(): a camera's pictures become the subject's, in a browser or in a window, as they come."""

from mueca.streaming.starting import live

__all__ = ["live"]
