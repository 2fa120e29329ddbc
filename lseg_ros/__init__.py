"""LSeg: open-vocabulary semantic segmentation for robots.

Importing this package loads nothing else, because importing the generated message types imports it.
"""

# In a checkout, Python finds this folder before the installed package that contains the generated lseg_ros.msg and
# lseg_ros.srv. Extending the path makes both one package.
__path__ = __import__("pkgutil").extend_path(__path__, __name__)

__version__ = "0.2.0"
