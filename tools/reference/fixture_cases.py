"""What the fixtures are: the tiny models, and the prompts and pictures that each is run with."""

from dataclasses import dataclass, field

SYSTEM = "A chat between a curious user and an AI assistant."
LLAMA3_TURN = (
    "<|start_header_id|>user<|end_header_id|>\n\n<image>\nWhat does this image show?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
CHATML_TURN = "<|im_start|>user\nWhat is left of <image> the red house?<|im_end|>\n<|im_start|>assistant\n"


@dataclass
class Case:
    """One run. `name` is the file in expected/; the first case of a model bears the model's name."""

    name: str
    prompt: str
    images: tuple = ()


@dataclass
class TinyModel:
    name: str
    tokenizer: str  # demo, small (sentencepiece of 352 pieces), llama3 or qwen2
    dtype: str
    vocabulary: int
    text: dict
    vision: dict
    cases: list
    llava: dict = field(default_factory=dict)
    image_steps: dict = field(default_factory=dict)  # changes to preprocessor_config.json
    processor_file: str = "preprocessor_config.json"  # transformers 5 may write processor_config.json instead
    spelling: str = "a"
    shard: str | None = None
    config_style: str = "v5"  # see config_styles.py
    family: str = "llava"  # its model_type
    text_family: str = "llama"
    shapes: bool = False  # whether pictures of all SHAPES are run as well


def text(width, layers, heads, kv_heads, ffn, head_size=None, **more):
    size = head_size or width // heads
    return dict(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads,
        intermediate_size=ffn, head_dim=size, max_position_embeddings=512, **more,
    )


def vision(width, layers, heads, ffn, image, patch, act="quick_gelu", eps=1e-5):
    return dict(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=ffn,
        image_size=image, patch_size=patch, hidden_act=act, layer_norm_eps=eps, projection_dim=width,
    )


def rope(kind="default", theta=10000.0, **more):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=theta, **more))


def vicuna(question, images=1):
    return f"{SYSTEM} USER: " + "<image>\n" * images + f"{question} ASSISTANT:"


# Widths and heights of pictures: in the ratio of a grid, wide, tall, smaller than a tile, nearly square, a line, a dot.
SHAPES = [(56, 56), (200, 40), (40, 200), (90, 60), (61, 90), (17, 13), (300, 7), (9, 160), (85, 83), (1, 1)]
NEXT_GRIDS = [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]  # rows and columns of tiles, as LLaVA-NeXT has them
MISTRAL_TURN = "[INST] <image>\nWhat is in the picture? [/INST]"
ONEVISION_TURN = "<|im_start|>user <image>\nWhat is this?<|im_end|><|im_start|>assistant\n"


def pinpoints(side, grids):
    return dict(image_grid_pinpoints=[[rows * side, columns * side] for rows, columns in grids])


def shape_name(width, height):
    return f"shape-{width}x{height}.png"


MODELS = [
    TinyModel(
        "gqa", "demo", "bfloat16", 672,
        text(32, 4, 4, 2, 64), vision(24, 3, 2, 48, image=28, patch=7),
        [
            Case("gqa", vicuna("What digit is in the top left?"), ("square-96.jpg",)),
            Case("gqa.no-image", "A chat. USER: Read the top row. ASSISTANT:"),
            Case(
                "gqa.three-images",
                f"{SYSTEM} USER: <image> or <image>\nWhich is red? ASSISTANT: The second. USER: And <image>? ASSISTANT:",
                ("wide-80x45.jpg", "tall-33x70.png", "small-17x13.png"),
            ),
            Case("gqa.image-first", "<image>", ("square-30.png",)),
        ],
    ),
    TinyModel(
        "mha-tied", "demo", "float32", 643,
        text(24, 4, 3, 3, 40, rms_norm_eps=1e-6, tie_word_embeddings=True),
        vision(16, 3, 2, 32, image=30, patch=7, act="gelu"),
        [Case("mha-tied", vicuna("What color is the cell with the 7?"), ("wide-80x45.jpg",))],
        llava=dict(vision_feature_layer=-1, vision_feature_select_strategy="full"), config_style="sparse",
    ),
    TinyModel(
        "mqa", "demo", "float16", 656,
        text(32, 4, 4, 1, 56, **rope(theta=1e6)), vision(16, 4, 4, 40, image=26, patch=4),
        [Case("mqa", vicuna("Is there a 3?"), ("tall-33x70.png",))],
        llava=dict(vision_feature_layer=[-3, -1]), config_style="v4",
    ),
    TinyModel(
        "rope-linear", "demo", "bfloat16", 643,
        text(30, 3, 5, 5, 72, head_size=8, **rope("linear", factor=2.0)),
        vision(20, 2, 2, 36, image=23, patch=5, act="gelu", eps=1e-6),
        [Case(
            "rope-linear",
            "USER: <image>List <image><image>\nRead the top row. ASSISTANT:",
            ("small-17x13.png", "square-30.png", "wide-101x64.png"),
        )],
        config_style="v4",
    ),
    TinyModel(
        "rope-llama3", "llama3", "bfloat16", 608,
        text(32, 5, 4, 2, 64, **rope(
            "llama3", theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=64,
        )),
        vision(24, 3, 3, 48, image=28, patch=7),
        [Case("rope-llama3", LLAMA3_TURN, ("square-96.jpg",))],
    ),
    TinyModel(
        "attention-bias", "demo", "float16", 648,
        text(32, 4, 2, 1, 64, attention_bias=True), vision(16, 3, 2, 32, image=24, patch=6),
        [Case("attention-bias", vicuna("Which digit is below the 0?"), ("wide-101x64.png",))],
        llava=dict(multimodal_projector_bias=False), config_style="sparse",
    ),
    TinyModel(
        "sharded", "demo", "bfloat16", 648,
        text(32, 5, 4, 2, 48), vision(16, 3, 2, 32, image=28, patch=14),
        [Case("sharded", vicuna("What are these?", images=2), ("square-30.png", "square-96.jpg"))],
        image_steps=dict(resample=2, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5]),
        processor_file="processor_config.json", spelling="c", shard="60KB",
    ),
    TinyModel(
        "byte-level", "qwen2", "float32", 568,
        text(24, 3, 4, 2, 48, head_size=8, tie_word_embeddings=True, **rope(theta=1e6)),
        vision(16, 2, 2, 32, image=21, patch=7),
        [Case("byte-level", CHATML_TURN, ("tall-33x70.png",))],
        llava=dict(projector_hidden_act="gelu"), spelling="d",
    ),
    TinyModel(
        "one-layer", "small", "float32", 360,
        text(16, 1, 2, 2, 24), vision(8, 2, 1, 16, image=12, patch=4),
        [Case("one-layer", "USER: <image>\nThe cat. ASSISTANT:", ("square-30.png",))],
    ),
    TinyModel(
        "next-vicuna", "demo", "bfloat16", 656,
        text(32, 4, 4, 4, 64), vision(16, 3, 2, 32, image=28, patch=7),
        [
            Case("next-vicuna", vicuna("What digit is in the top left?"), ("wide-80x45.jpg",)),
            Case("next-vicuna.two-images", vicuna("Which is red?", images=2), ("tall-33x70.png", "small-17x13.png")),
        ],
        llava=pinpoints(28, NEXT_GRIDS), family="llava_next", config_style="v4", shapes=True,
    ),
    TinyModel(
        "next-mistral", "small", "float16", 360,
        text(24, 3, 4, 2, 40, sliding_window=None, rms_norm_eps=1e-5, **rope(theta=1e6)),
        vision(16, 2, 2, 24, image=23, patch=5, act="gelu"),
        [Case("next-mistral", MISTRAL_TURN, ("wide-101x64.png",))],
        llava=pinpoints(23, NEXT_GRIDS) | dict(vision_feature_layer=[-2, -1], projector_hidden_act="gelu"),
        family="llava_next", text_family="mistral", processor_file="processor_config.json", spelling="b",
    ),
    TinyModel(
        "next-qwen2", "qwen2", "float32", 568,
        text(24, 3, 4, 2, 48, head_size=8, tie_word_embeddings=True, **rope(theta=1e6)),
        vision(16, 2, 2, 24, image=21, patch=7),
        [Case("next-qwen2", CHATML_TURN, ("square-30.png",))],
        llava=pinpoints(21, NEXT_GRIDS), family="llava_next", text_family="qwen2", spelling="d",
    ),
    TinyModel(
        "onevision", "onevision", "bfloat16", 576,
        text(32, 4, 4, 2, 56, rms_norm_eps=1e-6, **rope(theta=1e6)),
        vision(24, 3, 2, 44, image=26, patch=4, act="gelu_pytorch_tanh", eps=1e-6),
        [
            Case("onevision", ONEVISION_TURN, ("wide-80x45.jpg",)),
            Case(
                "onevision.two-images", ONEVISION_TURN.replace("<image>", "<image><image>"),
                ("tall-33x70.png", "square-30.png"),
            ),
        ],
        llava=pinpoints(26, [(rows, columns) for rows in (1, 2, 3) for columns in (1, 2, 3)]) | dict(
            vision_feature_layer=-1, vision_feature_select_strategy="full", vision_aspect_ratio="anyres_max_2"),
        image_steps=dict(image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5]),
        family="llava_onevision", text_family="qwen2", shapes=True,
    ),
]

# The model that is written six times, once per spelling of the tensor names.
SPELLING_MODEL = TinyModel(
    "spellings", "small", "bfloat16", 354,
    text(16, 3, 4, 2, 24), vision(16, 2, 2, 24, image=16, patch=4),
    [Case("spellings", "A chat. USER: <image>\nwhat is in the image? ASSISTANT:", ("square-96.jpg",))],
)
