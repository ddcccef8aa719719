"""Files that `torch.save` wrote, of any version of torch, read without executing anything in them."""
