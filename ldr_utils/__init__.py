"""Language Imbalance Driven Rewarding, reproduced: the shared functions behind the notebooks."""

import logging
import warnings

# Batch runs print plain lines; the bars that libraries would draw with ipywidgets are not missed.
warnings.filterwarnings("ignore", message="IProgress not found")
# A faster 4-bit kernel for CPUs would have to be downloaded; that it was not is no news.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

__version__ = "0.1.0"
