"""The engine that makes the network a fast function: image and words in, label map and confidence out."""

from lseg_ros.inference.embeddings import PixelEmbeddings
from lseg_ros.inference.postprocess import similarity
from lseg_ros.inference.segmenter import EncodedVocabulary, Segmenter, SegmenterConfig

__all__ = ["EncodedVocabulary", "PixelEmbeddings", "Segmenter", "SegmenterConfig", "similarity"]
