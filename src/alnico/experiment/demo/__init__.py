"""The demo's work: a made-up shop whose truth is known, a control world beside it, three models on each."""
