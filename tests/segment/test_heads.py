import torch

from lidistill.segment.heads import SegmentationHead


def test_a_fresh_probe_gives_every_class_the_same_score():
    head = SegmentationHead(8, 5)
    assert torch.equal(head(torch.randn(7, 8)), torch.zeros(7, 5))


def test_a_probe_standardises_its_input():
    head = SegmentationHead(2, 2)
    torch.nn.init.eye_(head.linear.weight)
    out = head(torch.randn(500, 2) * 50 + 9)
    torch.testing.assert_close(out.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(0, correction=0), torch.ones(2), atol=1e-4, rtol=0)
