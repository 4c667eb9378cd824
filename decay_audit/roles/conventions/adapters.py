"""Names of the tensors of adapters."""

from decay_audit.roles.conventions.convention import Convention, vocabulary

ADAPTER = vocabulary(
    Convention(
        words=("lora_a", "lora_b", "lora_e", "lora_embedding_a", "lora_embedding_b", "lora_magnitude_vector"),
        source="peft.tuners.lora.layer.LoraLayer, peft.tuners.adalora.layer.AdaLoraLayer",
        matches=("lora_A", "lora_B", "lora_E", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector"),
        near_misses=("flora_a", "lora_dropout"),
    ),
    Convention(
        words=("lokr_w", "lokr_t", "hada_w", "hada_t"),
        source="peft.tuners.lokr.layer.LoKrLayer, peft.tuners.loha.layer.LoHaLayer",
        matches=("lokr_w1_a", "lokr_t2", "hada_w1_a", "hada_t1"),
        near_misses=("hadamard_w",),
    ),
    Convention(
        words=("ia_l",),
        source="peft.tuners.ia3.layer.IA3Layer",
        matches=("ia3_l",),
        near_misses=("via_l",),
    ),
    Convention(
        words=("oft_r", "boft_r", "boft_s"),
        source="peft.tuners.oft.layer.OFTLayer, peft.tuners.boft.layer.BOFTLayer",
        matches=("oft_R", "boft_R", "boft_s"),
        near_misses=("soft_r",),
    ),
    Convention(
        words=("hra_u",),
        source="peft.tuners.hra.layer.HRALayer",
        matches=("hra_u",),
        near_misses=("u",),
    ),
    Convention(
        words=("vera_a", "vera_b", "vera_lambda*"),
        source="peft.tuners.vera.layer.VeraLayer",
        matches=("vera_A", "vera_B", "vera_lambda_d"),
        near_misses=("veranda_a",),
    ),
    Convention(
        words=("vblora_logits*", "vblora_vector_bank"),
        source="peft.tuners.vblora.layer.VBLoRALayer",
        matches=("vblora_logits_A", "vblora_vector_bank"),
        near_misses=("logits_a",),
    ),
    Convention(
        words=("randlora_lambda", "randlora_gamma"),
        source="peft.tuners.randlora.layer.RandLoraLayer",
        matches=("randlora_lambda", "randlora_gamma"),
        near_misses=("lambda", "gamma"),
    ),
    Convention(
        words=("^fourierft_spectrum", "^shira_weight", "^road_theta", "^road_alpha"),
        source="peft.tuners: fourierft.layer.FourierFTLayer, shira.layer.ShiraLayer, road.layer.RoadLayer",
        matches=("fourierft_spectrum", "shira_weight", "road_theta", "road_alpha"),
        near_misses=("theta", "spectrum"),
    ),
    Convention(
        words=("^bone_block", "^miss_block", "^trainable_tokens_delta"),
        source="peft.tuners: bone.layer.BoneLayer, miss.layer.MissLayer, trainable_tokens.layer.TrainableTokensLayer",
        matches=("bone_block", "miss_block", "trainable_tokens_delta"),
        near_misses=("backbone_block",),
    ),
)
"""Names of tensors of adapters, and of the dictionaries that contain them."""
