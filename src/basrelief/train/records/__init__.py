"""Records: files drawn for each shape of a library, in tar shards or folders; made by several processes, resumable."""
