"""3DETR and 3DETR-m: boxes from a transformer that was trained on labelled scans."""
