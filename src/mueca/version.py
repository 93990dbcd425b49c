"""The version, written into every manifest and run."""

VERSION = "0.1.0"
