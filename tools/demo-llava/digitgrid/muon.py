"""Muon for matrices, AdamW for everything else."""

import torch


class Muon:
    """Muon (Jordan et al., 2024): momentum, made orthogonal by a Newton-Schulz iteration, so that every direction of a
    matrix moves by the same amount. On this model it needs a fraction of AdamW's steps.

    `matrices`: 2-D hidden weights; those of one shape are stacked and stepped together.
    `others`: parameters or parameter groups for AdamW. A group's `rate` scales its learning rate.
    """

    MOMENTUM, WEIGHT_DECAY = 0.95, 0.01

    def __init__(self, matrices, others, learning_rate, adam_learning_rate):
        self.stacks = {}
        for parameter in matrices:
            self.stacks.setdefault(tuple(parameter.shape), []).append(parameter)
        self.momenta = {
            shape: torch.zeros(len(stack), *shape, device=stack[0].device) for shape, stack in self.stacks.items()
        }
        self.learning_rate, self.adam_learning_rate = learning_rate, adam_learning_rate
        self.adam = torch.optim.AdamW(others, lr=adam_learning_rate, betas=(0.9, 0.98), weight_decay=0.0)

    @torch.no_grad()
    def step(self, scale):
        """One step at `scale` times the learning rates."""
        rate = self.learning_rate * scale
        for shape, stack in self.stacks.items():
            gradient = torch.stack([p.grad if p.grad is not None else torch.zeros_like(p) for p in stack])
            momentum = self.momenta[shape].mul_(self.MOMENTUM).add_(gradient, alpha=1 - self.MOMENTUM)
            update = orthogonalize(gradient * (1 - self.MOMENTUM) + momentum * self.MOMENTUM)  # Nesterov
            tall = max(1, shape[0] / shape[1]) ** 0.5
            for parameter, direction in zip(stack, update):
                parameter.mul_(1 - rate * self.WEIGHT_DECAY).add_(direction, alpha=-rate * tall)
        for group in self.adam.param_groups:
            group["lr"] = self.adam_learning_rate * scale * group.get("rate", 1.0)
        self.adam.step()

    def zero_grad(self):
        for stack in self.stacks.values():
            for parameter in stack:
                parameter.grad = None
        self.adam.zero_grad(set_to_none=True)


def orthogonalize(gradients, steps=5):
    """Pushes the singular values of each `[rows, columns]` matrix towards 1, with Muon's published quintic."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = gradients / (gradients.norm(dim=(1, 2), keepdim=True) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    for _ in range(steps):
        square = x @ x.transpose(1, 2)
        x = a * x + (b * square + c * square @ square) @ x
    return x.transpose(1, 2) if tall else x
