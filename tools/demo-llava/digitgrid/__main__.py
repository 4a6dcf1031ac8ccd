"""Command line of the package: `train`, `make-questions` and `sweep`."""

import argparse

import torch

from .recipe import Recipe


def main():
    arguments = parser().parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.run(arguments)


def parser():
    root = argparse.ArgumentParser(prog="digitgrid", description=__doc__)
    commands = root.add_subparsers(required=True)

    train = commands.add_parser("train", help="train a checkpoint and write it with its question sets")
    train.add_argument("--out", required=True, metavar="DIR", help="written here: model/ calib/ heldout/ training.json")
    train.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--steps-scale", type=float, default=1.0, metavar="X", help="of every stage; 0.002 is a smoke run")
    train.add_argument(
        "--no-auxiliary-losses",
        dest="auxiliary_losses",
        action="store_false",
        help="the control: no supervision at the inputs of layers 4 and 6",
    )
    train.set_defaults(run=run_train)

    questions = commands.add_parser("make-questions", help="write further question sets, one folder per task")
    questions.add_argument("-o", "--out", required=True, metavar="DIR")
    questions.add_argument("--seed", type=int, default=7)
    questions.add_argument("--per-task", type=int, default=40, metavar="N")
    questions.add_argument("--glyphs", choices=["held-out", "training"], default="held-out")
    questions.add_argument(
        "--compact", action="store_true", help="JPEG quality 90 with 4:2:0 chroma, and fewer PNGs: half the bytes"
    )
    questions.set_defaults(run=run_questions)

    sweep = commands.add_parser("sweep", help="how withdrawal at each layer changes the answers")
    sweep.add_argument("--model", required=True, metavar="DIR")
    sweep.add_argument("--set", metavar="DIR", help="question sets on disk; without it, new held-out scenes")
    sweep.add_argument("--scenes", type=int, default=120, metavar="N", help="new scenes for each question type")
    sweep.set_defaults(run=run_sweep)

    for command in (train, questions, sweep):
        command.add_argument("--threads", type=int, metavar="N", help="CPU threads; all cores unless told")
    return root


def run_train(arguments):
    from .train import train

    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("error: --device cuda: this PyTorch sees no GPU; use --device cpu")
    recipe = Recipe(
        seed=arguments.seed,
        steps_scale=arguments.steps_scale,
        auxiliary_losses=arguments.auxiliary_losses,
        device=arguments.device,
    )
    train(arguments.out, recipe)


def run_questions(arguments):
    from .question_sets import COMPACT, STANDARD, write_sets

    storage = COMPACT if arguments.compact else STANDARD
    write_sets(arguments.out, arguments.glyphs, arguments.seed, arguments.per_task, storage)


def run_sweep(arguments):
    from .withdrawal_sweep import sweep_scenes, sweep_sets

    if arguments.set:
        sweep_sets(arguments.model, arguments.set)
    else:
        sweep_scenes(arguments.model, arguments.scenes)


if __name__ == "__main__":
    main()
