"""``lseg checkpoint``: inspect, convert, average and download checkpoints."""
