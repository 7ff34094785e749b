"""pagerank."""
