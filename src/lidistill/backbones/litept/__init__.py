"""LitePT and Point Transformer V3: attention along curves that fill space."""
