"""The model: a genuine `LlavaForConditionalGeneration`, and plain forward passes over its parameters.

    pixels (b, 3, 126, 126) -> vision_features (b, 81, 128) -> project (b, 81, 192)
    token embeddings with those rows in place of <image> -> decode: 12 layers, then the final norm

The plain passes exist because training wants packed masks and a look at middle layers; they read the very parameters
that Hugging Face's own forward reads. Everything is f32, so that training, `withdrawal_sweep` and
Hugging Face compute the same thing.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from .scenes import IMAGE
from .tokenizer import BOS, EOS, IMAGE_TOKEN, PAD_TOKEN, VOCABULARY

PATCH = 14
IMAGE_ROWS = (IMAGE // PATCH) ** 2  # 81
VISION_WIDTH, TEXT_WIDTH = 128, 192
VISION_LAYERS, TEXT_LAYERS = 5, 12
FEATURE_LAYER = -2  # LLaVA's choice: the last vision layer is there, as in the big models, but nothing reads it


def make_model(seed):
    """A fresh model on the CPU, f32."""
    torch.manual_seed(seed)
    vision = CLIPVisionConfig(
        hidden_size=VISION_WIDTH,
        intermediate_size=384,
        num_hidden_layers=VISION_LAYERS,
        num_attention_heads=4,
        image_size=IMAGE,
        patch_size=PATCH,
        projection_dim=VISION_WIDTH,
        hidden_act="quick_gelu",
    )
    text = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=TEXT_WIDTH,
        intermediate_size=512,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD_TOKEN,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IMAGE_TOKEN,
        image_token_id=IMAGE_TOKEN,
        vision_feature_layer=FEATURE_LAYER,
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        image_seq_length=IMAGE_ROWS,
        pad_token_id=PAD_TOKEN,
        tie_word_embeddings=False,
    )
    model = LlavaForConditionalGeneration(config)
    for name, parameter in model.model.language_model.named_parameters():
        if parameter.ndim != 2:
            continue
        nn.init.normal_(parameter, std=0.1 if "embed" in name else 0.6 / math.sqrt(parameter.shape[1]))
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            parameter.data.mul_(1 / math.sqrt(2 * TEXT_LAYERS))  # what a layer adds to the residual starts small
    return model


def matrices(layers):
    """The weight matrices of a stack of layers: what Muon trains."""
    return [parameter for parameter in layers.parameters() if parameter.ndim == 2]


def vision_layers(model):
    """The vision layers that anything reads."""
    return model.model.vision_tower.encoder.layers[: VISION_LAYERS + 1 + FEATURE_LAYER]


def other_vision_parameters(model):
    """What `vision_features` reads besides those layers' matrices: embeddings, norms and biases."""
    tower = model.model.vision_tower
    matrix_ids = {id(parameter) for parameter in matrices(vision_layers(model))}
    unread = {id(parameter) for parameter in tower.encoder.layers[VISION_LAYERS + 1 + FEATURE_LAYER :].parameters()}
    unread |= {id(parameter) for parameter in tower.post_layernorm.parameters()}
    return [parameter for parameter in tower.parameters() if id(parameter) not in matrix_ids | unread]


def attention(q, k, v, bias):
    """`q`, `k`, `v`: `[batch, heads, rows, head width]`; `bias` is added to the scores."""
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + bias
    return torch.softmax(scores, -1) @ v


def vision_features(model, pixels):
    """What LLaVA takes from CLIP: the input of the last layer, class token dropped. `[batch, 81, 128]`."""
    tower = model.model.vision_tower
    heads, epsilon = tower.config.num_attention_heads, tower.config.layer_norm_eps

    def norm(x, layer):
        return F.layer_norm(x, (VISION_WIDTH,), layer.weight, layer.bias, epsilon)

    x = F.conv2d(pixels, tower.embeddings.patch_embedding.weight, stride=PATCH).flatten(2).transpose(1, 2)
    x = torch.cat([tower.embeddings.class_embedding.expand(len(x), 1, -1), x], 1)
    x = norm(x + tower.embeddings.position_embedding.weight, tower.pre_layrnorm)  # (b, 82, 128)
    batch, rows, width = x.shape

    def split(x):
        return x.view(batch, rows, heads, width // heads).transpose(1, 2)

    for layer in vision_layers(model):
        block = layer.self_attn
        y = norm(x, layer.layer_norm1)
        mixed = attention(*(split(w(y)) for w in (block.q_proj, block.k_proj, block.v_proj)), bias=0.0)
        x = x + block.out_proj(mixed.transpose(1, 2).reshape(batch, rows, width))
        y = layer.mlp.fc1(norm(x, layer.layer_norm2))
        x = x + layer.mlp.fc2(y * torch.sigmoid(1.702 * y))  # quick GELU
    return x[:, 1:]


def project(model, features):
    """Vision features to rows of the language model, `[batch, 81, 192]`."""
    projector = model.model.multi_modal_projector
    return projector.linear_2(F.gelu(projector.linear_1(features)))


def rotation_tables(device, positions=1024, theta=10000.0):
    """Cosines and sines of RoPE, `[positions, head width]` each."""
    width = TEXT_WIDTH // 4
    inverse = 1 / theta ** (torch.arange(0, width, 2, device=device).float() / width)
    angles = torch.arange(positions, device=device).float()[:, None] * inverse
    return torch.cat([angles.cos(), angles.cos()], 1), torch.cat([angles.sin(), angles.sin()], 1)


def rotate(x, cosine, sine):
    half = x.shape[-1] // 2
    return x * cosine + torch.cat([-x[..., half:], x[..., :half]], -1) * sine


def text_layer(layer, config, x, bias, cosine, sine):
    """One decoder layer. `x`: `[batch, rows, 192]`; `bias` is added to the scores, `[batch or 1, 1, rows, rows]`;
    `cosine`, `sine`: `[batch or 1, 1, rows, head width]`."""
    batch, rows, width = x.shape
    block, mlp = layer.self_attn, layer.mlp

    def norm(weight):
        return F.rms_norm(x, (width,), weight, config.rms_norm_eps)

    def split(x):
        return x.view(batch, rows, config.num_attention_heads, -1).transpose(1, 2)

    y = norm(layer.input_layernorm.weight)
    q, k, v = (split(w(y)) for w in (block.q_proj, block.k_proj, block.v_proj))
    mixed = attention(rotate(q, cosine, sine), rotate(k, cosine, sine), v, bias)
    x = x + block.o_proj(mixed.transpose(1, 2).reshape(batch, rows, width))
    y = norm(layer.post_attention_layernorm.weight)
    return x + mlp.down_proj(F.silu(mlp.gate_proj(y)) * mlp.up_proj(y))


def decode(model, x, positions, mask, tables):
    """The whole decoder.

    `x`: embeddings `[batch, rows, 192]`; `mask`: true where a row may look, `[batch, 1, rows, rows]`.
    Returns the input of every layer and, last, the output of the last layer: `TEXT_LAYERS + 1` tensors, before any norm.
    """
    text = model.model.language_model
    cosine, sine = (table[positions][:, None] for table in tables)
    bias = torch.zeros(mask.shape, device=x.device).masked_fill(~mask, -1e4)
    inputs = [x]
    for layer in text.layers:
        inputs.append(text_layer(layer, text.config, inputs[-1], bias, cosine, sine))
    return inputs


def logits(model, x):
    """Of rows as a layer leaves them."""
    text = model.model.language_model
    return model.lm_head(F.rms_norm(x, (TEXT_WIDTH,), text.norm.weight, text.config.rms_norm_eps))
