"""Messages between peers. The ``*_pb2`` modules are generated from the ``.proto`` files by tools/protos.py."""
