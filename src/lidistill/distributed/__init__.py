"""Distributed training: process group, rendezvous, all-reduce."""
