from . import Traps

TRAPS = Traps()
