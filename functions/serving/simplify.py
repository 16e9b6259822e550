"""python -m serving.simplify SOURCE TARGET: write a graph as every session would first simplify it.

Not for the functions: packaging a model runs it, with the Python and the layer that will serve it.
"""

import sys
from pathlib import Path

from serving.model import MB_PER_VCPU, open_session

if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    open_session(source, MB_PER_VCPU, simplified=target)
