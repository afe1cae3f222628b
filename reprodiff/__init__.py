"""reprodiff: why two build artifacts differ, what proves it, and what makes the difference go away."""

__version__ = "0.1.0"
