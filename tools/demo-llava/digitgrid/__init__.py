"""DigitGrid-LLaVA: a small LLaVA checkpoint that is really trained, and the questions it is asked.

The modules follow the data:

    glyphs -> scenes -> questions -> tokenizer -> packing      what the model sees
    model, muon                                                what is trained, and how a step is taken
    train_vision -> train_projector -> train_language          the three stages
    export                                                     the checkpoint, as Hugging Face writes it
    question_sets, withdrawal_sweep                            what it is asked, and how withdrawal changes the answers
"""
