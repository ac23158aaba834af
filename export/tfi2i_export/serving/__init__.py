"""A client for TF Serving, the server itself, and Apache Beam."""
