"""lseg_ros: open-vocabulary semantic segmentation (LSeg) for robots.

Importing this package imports nothing else: it runs whenever anyone imports our message types.
"""

# Run from the source root, Python finds this folder before the installed one that carries the generated
# lseg_ros.msg and lseg_ros.srv; extending the path lets both be one package.
__path__ = __import__("pkgutil").extend_path(__path__, __name__)

__version__ = "0.2.0"
