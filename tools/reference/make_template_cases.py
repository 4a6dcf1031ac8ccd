"""Writes what Jinja makes of chat templates: python make_template_cases.py

Into Tests/Fixtures/templates/cases.json: templates written here in the ways that checkpoints write theirs, each with
the prompts that transformers renders from it for ten conversations of one to four turns, with and without images.

    [{"name", "template", "special_texts": {"bos_token", …}, "adds_bos", "refused": null or a part of our error,
      "conversations": [{"messages": [{"images", "question"} or {"answer"}], "prompt"}],
      "tokenizer": null or a path from the repository's root, "ids": of each conversation's prompt by that tokenizer}]

`prompt` is the rendered text; where the tokenizer adds BOS and the template writes it too, `ids` have it once.
Templates in `TEXT_ONLY` take a message's content as one text, so their conversations have no images.
"""

import json
import pathlib

from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import render_jinja_template

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "Tests" / "Fixtures" / "templates"
DEMO = "tools/demo-llava/model"
TOKENIZERS = "Tests/Fixtures/tokenizers"

LLAMA = {"bos_token": "<s>", "eos_token": "</s>"}
LLAMA3 = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
QWEN = {"eos_token": "<|im_end|>"}

IMAGES = "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
TEXTS = "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] }}{% endfor %}"

VICUNA_HUB = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{# images come first #}" + IMAGES + "{# then the words #}"
    "{% if message['role'] != 'assistant' %}{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ part['text'] + ' ' }}{% endfor %}{% else %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ part['text'] + ' ' }}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
VICUNA_TEXT = (
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set system = messages[0]['content'] %}"
    "{% else %}{% set rest = messages %}{% set system = 'It\\'s a talk between a person and a machine.' %}{% endif %}"
    "{% for message in rest %}{% if loop.index0 == 0 %}{{ system }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ ' USER: ' + message['content'].strip() }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ASSISTANT: ' + message['content'].strip() + eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}"
)
CHATML_LINES = """{%- if not messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\nYou look at pictures.<|im_end|>\\n' }}
{%- endif %}
{# one turn after the other #}
{%- for message in messages %}
    {{- '<|im_start|>' ~ message.role ~ "\\n" }}
    {%- for part in message.content %}
        {%- if part.type == 'image' %}
            {{- '<image>\\n' }}
        {%- elif 'text' in part %}
            {{- part.text | trim }}
        {%- endif %}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt is defined and add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
CHATML_PLAIN_TAGS = """{% for message in messages %}
<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}
{{ message['content'] }}{% else %}
  {% for part in message['content'] if part['type'] == 'image' %}
<image>
  {% endfor %}
  {% for part in message['content'] if part['type'] == 'text' %}
{{ part['text'] }}{% endfor %}
{% endif %}
<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
"""
CHATML_OPEN_END = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe brief<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] }}"
    "{% if (loop.last and add_generation_prompt) or not loop.last %}{{ '<|im_end|>' + '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
COUNTED = (
    "{% set seen = namespace(images=0) %}{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}{% if part.type == 'image' or 'image' in part %}"
    "{% set seen.images = seen.images + 1 %}{% if number_images %}Image {{ seen.images }}: {% endif %}"
    "<|start|><image><|end|>{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{{ '<|im_start|>assistant\n' if add_generation_prompt else '' }}"
)
LLAMA2 = (
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'][0]['text'] + '\n' }}"
    "{% elif message['role'] == 'user' %}{{ '[INST] ' }}" + IMAGES + TEXTS + "{{ ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'][0]['text'] + '</s> ' }}"
    "{% else %}{{ raise_exception('unknown role') }}{% endif %}{% endfor %}"
)
LLAMA3_SET = (
    "{% set turns = messages %}{% for message in turns %}"
    "{% set words = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set words = bos_token + words %}{% endif %}{{ words }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA3_IMAGES = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    + IMAGES + TEXTS + "<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
TAGS = (
    "{{ bos_token }}{% for message in messages %}{% set name = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + name + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
# LLaVA-OneVision's: a line break before the question, images or not; answers of the past begin with one space more.
ONEVISION = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ '\n' + part['text'] }}{% endfor %}"
    "{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA31 = (
    "{{- bos_token }}\n{%- if custom_tools is defined %}\n    {%- set tools = custom_tools %}\n{%- endif %}\n"
    "{%- if not tools is defined %}\n    {%- set tools = none %}\n{%- endif %}\n"
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\nBe helpful.' }}\n"
    "{%- if tools is not none %}\n    {%- for name, value in tools[0] | items if name != 'return' %}\n"
    "        {{- name + '=' + value }}\n    {%- endfor %}\n{%- endif %}\n{{- '<|eot_id|>' }}\n"
    "{%- for message in messages %}\n"
    "    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}\n"
    "        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}\n"
    "    {%- endif %}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n"
)
LLAMA2_IMAGES = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' }}" + IMAGES + TEXTS
    + "{{ ' [/INST]' }}{% else %}{{ ' ' }}" + TEXTS + "{{ ' ' + eos_token }}{% endif %}{% endfor %}"
)
PLAIN = "{% for message in messages %}" + IMAGES + TEXTS + "{{ '\n' }}{% endfor %}"
IMAGES_BEHIND = "{% for message in messages %}{{ message['role'] + ': ' }}" + TEXTS + IMAGES + "{{ '\n' }}{% endfor %}"
NUMBERED_TURNS = (
    "{% for message in messages %}{{ loop.index }}. {{ message['role'] }}: " + IMAGES + TEXTS + "\n{% endfor %}"
)

ACCEPTED = [
    # name, template, special texts, whether the tokenizer adds BOS, tokenizer
    ("vicuna", VICUNA_HUB, LLAMA, True, f"{DEMO}/tokenizer.json"),
    ("vicuna, system text", json.loads((ROOT / DEMO / "chat_template.json").read_text())["chat_template"], LLAMA, True,
     f"{DEMO}/tokenizer.json"),
    ("vicuna, text", VICUNA_TEXT, LLAMA, True, None),
    ("chatml, lines", CHATML_LINES, QWEN, False, f"{TOKENIZERS}/qwen2.json"),
    ("chatml, plain tags", CHATML_PLAIN_TAGS, QWEN, False, f"{TOKENIZERS}/qwen2.json"),
    ("chatml, open end, text", CHATML_OPEN_END, QWEN, False, f"{TOKENIZERS}/qwen2.json"),
    ("chatml, counted", COUNTED, QWEN, False, f"{TOKENIZERS}/qwen2.json"),
    ("llama-2, text", LLAMA2, LLAMA, True, None),
    ("mistral", MISTRAL, LLAMA, True, f"{DEMO}/tokenizer.json"),
    ("llama-3, text", LLAMA3_SET, LLAMA3, True, None),
    ("llama-3", LLAMA3_IMAGES, LLAMA3, True, f"{TOKENIZERS}/llama3.json"),
    ("llama-3.1, text", LLAMA31, LLAMA3, True, None),
    ("llama-2", LLAMA2_IMAGES, LLAMA, True, f"{DEMO}/tokenizer.json"),
    ("onevision", ONEVISION, QWEN, False, f"{TOKENIZERS}/qwen2.json"),
    ("plain", PLAIN, QWEN, False, f"{TOKENIZERS}/qwen2.json"),
    ("tags, text", TAGS, LLAMA, False, None),
]
THINKING = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|><think>\n' }}{% endif %}"
)

REFUSED = [
    ("images behind the question", IMAGES_BEHIND, "images do not stand as one '<image>' before the question"),
    ("thinking", THINKING, "it begins an answer of the past unlike one to come"),
    ("numbered turns", NUMBERED_TURNS, "its text is not the same around every turn"),
    ("json", "{% for message in messages %}{{ message['content'] | tojson }}{% endfor %}", "the filter 'tojson'"),
    ("macro", "{% macro turn(m) %}{{ m }}{% endmacro %}", "the statement 'macro' is not supported"),
    ("date", "{{ strftime_now('%d %b') }}{% for m in messages %}{{ m['content'] }}{% endfor %}", "'strftime_now'"),
    ("endless", "{% for a in messages %}" * 12 + "x" + "{% endfor %}" * 12, "does not write every message once"),
    ("unfinished", "{% for message in messages %}{{ message['content'] }}", "'endfor' is missing"),
    ("unknown role", "{{ raise_exception('only poems') }}", "it refuses the conversation: only poems"),
    ("huge", "{% set x = 'abcdefgh' %}" + "{% set x = x ~ x %}" * 40 + "{{ x }}", "it takes too many steps"),
    ("deep", "{{ " + "(" * 60 + "1" + ")" * 60 + " }}", "it is nested too deeply"),
]


def question(images, text):
    return {"images": images, "question": text}


# Ten; those of templates that take text alone have no images.
CONVERSATIONS = [
    [question(0, "What is this?")],
    [question(1, "What digit is red?")],
    [question(2, "Compare 2 é images.")],
    [question(1, "Two lines:\nfirst, second.")],
    [question(0, "{{ braces }}, <b>tags</b> & 'quotes' \"of\" 图片 🙂")],
    [question(0, "Hi"), {"answer": "Hello."}, question(0, "Again?")],
    [question(1, "What is it?"), {"answer": "A cat."}, question(0, "Why?")],
    [question(0, "Hi"), {"answer": "Hello."}, question(2, "And these?")],
    [question(1, "One"), {"answer": "Two\nlines."}, question(0, "Two"), {"answer": "Three."}, question(1, "Four")],
    [question(0, "a"), {"answer": "b"}, question(0, "c"), {"answer": "d"}, question(0, "e"), {"answer": "f"}, question(3, "g")],
]


def to_messages(conversation, text_only):
    for message in conversation:
        if "answer" in message:
            role, content = "assistant", [{"type": "text", "text": message["answer"]}]
        else:
            role = "user"
            content = [{"type": "image"}] * message["images"] + [{"type": "text", "text": message["question"]}]
        yield {"role": role, "content": content[0]["text"] if text_only else content}


def render(template, conversation, text_only, specials):
    rendered, _ = render_jinja_template(
        conversations=[list(to_messages(conversation, text_only))], chat_template=template, add_generation_prompt=True,
        **specials,
    )
    return rendered[0]


def accepted(name, template, specials, adds_bos, tokenizer):
    text_only = name.endswith("text") and "system" not in name
    conversations, ids = [], []
    encoder = Tokenizer.from_file(str(ROOT / tokenizer)) if tokenizer else None
    for conversation in CONVERSATIONS:
        if text_only:
            conversation = [{**message, "images": 0} if "images" in message else message for message in conversation]
        prompt = render(template, conversation, text_only, specials)
        conversations.append({"messages": conversation, "prompt": prompt})
        if encoder:
            ids.append(encoder.encode(prompt.removeprefix(specials.get("bos_token", "")) if adds_bos else prompt).ids)
    return {
        "name": name, "template": template, "special_texts": specials, "adds_bos": adds_bos, "refused": None,
        "conversations": conversations, "tokenizer": tokenizer, "ids": ids,
    }


def main():
    cases = [accepted(*case) for case in ACCEPTED]
    cases += [
        {"name": name, "template": template, "special_texts": LLAMA, "adds_bos": True, "refused": reason,
         "conversations": [], "tokenizer": None, "ids": []}
        for name, template, reason in REFUSED
    ]
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "cases.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(f"{len(cases)} templates, {sum(len(case['conversations']) for case in cases)} conversations")


if __name__ == "__main__":
    main()
