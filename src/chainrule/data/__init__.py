"""Tables and bundled sets -> arrays, split and scaled."""
