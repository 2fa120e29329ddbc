"""Inference: images and label sets in, label maps and confidence out."""

from lseg_ros.inference.embeddings import PixelEmbeddings
from lseg_ros.inference.postprocess import similarity
from lseg_ros.inference.segmenter import EncodedVocabulary, Segmenter, SegmenterConfig

__all__ = ["EncodedVocabulary", "PixelEmbeddings", "Segmenter", "SegmenterConfig", "similarity"]
