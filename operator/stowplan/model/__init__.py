"""Values of the Kubernetes API as the scheduler needs them: parsed once, compared fast, pure."""
