"""``lseg checkpoint inspect | convert | fetch``: files of weights."""
