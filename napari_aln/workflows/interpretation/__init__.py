"""What a model weighs, told by nucleus features, as in Xu et al. 2021."""
