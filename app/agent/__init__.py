"""What answers: the model, the prompt, and the runner that carries runs."""
