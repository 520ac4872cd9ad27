"""MinkUNet 14, 18 and 34: a U-Net of sparse convolutions, the student of SLidR's family."""
