"""memcrdt: memory on your own machines, as the memory provider of Hermes Agent."""

from memcrdt.frameworks.hermes import register

__all__ = ["register"]
