"""A web server for a network: a page, and the REST interface of TensorFlow Serving."""
