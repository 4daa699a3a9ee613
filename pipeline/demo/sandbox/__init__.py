"""A small TikTok stand-in on loopback for the demo and the tests, crawled with a real browser under the real addresses.

Everything in it is invented from a seed. It is a development tool: it proves the collector's conduct against the shapes
that are documented, not against TikTok itself.
"""

from csmv.pipeline.demo.sandbox.faults import EFFECTS, Effect, Fault, Place
from csmv.pipeline.demo.sandbox.proxy import Logged, Sandbox
from csmv.pipeline.demo.sandbox.world import SandboxSettings, Truth, World

__all__ = ["EFFECTS", "Effect", "Fault", "Logged", "Place", "Sandbox", "SandboxSettings", "Truth", "World"]
