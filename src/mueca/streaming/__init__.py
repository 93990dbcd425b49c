"""live(): a camera's pictures become the subject's, in a browser, in a window or in a file, as they come."""

from mueca.streaming.serving import live

__all__ = ["live"]
