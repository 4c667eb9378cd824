"""Architectures with unusual parameters, small enough to be traced in every run of the tests."""

SAMPLE = (
    "timm:bat_resnext26ts",  # bilinear attention
    "timm:beit_base_patch16_224",  # joined biases, relative tables, two layer scales
    "timm:botnet26t_256",  # a query times tables of positions
    "timm:caformer_s18",  # activations with a scale and a bias
    "timm:cait_xxs24_224",  # talking heads, class attention
    "timm:coat_tiny",  # one convolution under several names
    "timm:coatnet_pico_rw_224",  # log positions
    "timm:convnext_atto",
    "timm:convnextv2_atto",  # global response norm
    "timm:crossvit_9_240",  # two streams
    "timm:davit_tiny",
    "timm:deit_tiny_distilled_patch16_224",  # two tokens, two heads
    "timm:edgenext_xx_small",  # cross-covariance with a temperature
    "timm:efficientformer_l1",  # a table gathered and cached
    "timm:efficientnet_b0",
    "timm:ese_vovnet19b_dw",
    "timm:eva02_tiny_patch14_224",  # rotary positions, a norm inside the MLP
    "timm:fastvit_t8",  # reparametrized branches, conditional positions
    "timm:focalnet_tiny_srf",
    "timm:gcvit_xxtiny",
    "timm:gmlp_s16_224",  # spatial gating
    "timm:halonet26t",
    "timm:hiera_tiny_224",
    "timm:inception_v3",
    "timm:lambda_resnet26t",  # keys times tables
    "timm:levit_128s",  # attention biases gathered by index
    "timm:mixer_s32_224",
    "timm:mobilenetv3_small_050",
    "timm:mobileone_s0",
    "timm:mvitv2_tiny",  # decomposed relative positions
    "timm:nest_tiny",
    "timm:nf_regnet_b0",  # standardized kernels with a gain
    "timm:nfnet_f0",  # scalar gains that start at zero
    "timm:pit_ti_224",
    "timm:poolformer_s12",
    "timm:pvt_v2_b0",
    "timm:repvgg_a0",
    "timm:resmlp_12_224",  # affine layers in place of norms
    "timm:resnest14d",
    "timm:resnet18",
    "timm:resnetv2_50d_evos",  # norms with a parameter inside
    "timm:resnetv2_50d_frn",  # thresholded activations
    "timm:sequencer2d_s",  # recurrent layers over rows and columns
    "timm:skresnet18",
    "timm:starnet_s1",
    "timm:swin_tiny_patch4_window7_224",
    "timm:swinv2_cr_tiny_224",
    "timm:swinv2_tiny_window8_256",  # a bias computed from a constant grid
    "timm:tf_efficientnet_cc_b0_4e",  # kernels mixed by data
    "timm:tiny_vit_5m_224",
    "timm:tnt_s_legacy_patch16_224",  # pixels inside patches
    "timm:twins_svt_small",
    "timm:vit_relpos_base_patch16_clsgap_224",
    "timm:vit_srelpos_small_patch16_224",  # one table for all blocks
    "timm:vit_tiny_patch16_224",
    "timm:volo_d1_224",  # outlook attention
    "timm:xcit_nano_12_p8_224",
    "torchvision:googlenet",  # auxiliary heads that only training runs
    "torchvision:mvit_v1_b",
    "torchvision:r3d_18",  # no input size of its own
    "torchvision:squeezenet1_1",
    "torchvision:vit_b_32",
    "transformers:albert",  # layers used many times
    "transformers:beit",
    "transformers:bert",
    "transformers:clip",  # two towers, a temperature
    "transformers:deberta-v2",  # relative tables that go through the projections
    "transformers:detr",  # learned queries
    "transformers:dac",  # weight norm, activations with a frequency
    "transformers:funnel",  # biases by head
    "transformers:gpt2",  # transposed linear layers
    "transformers:lfm2",
    "transformers:llama",
    "transformers:mamba",  # a state space
    "transformers:mixtral",  # stacks of experts
    "transformers:olmoe",
    "transformers:perceiver",  # latents
    "transformers:rwkv",
    "transformers:t5",  # one table of relative positions, buckets of a constant
    "transformers:vit_mae",  # random masking
    "transformers:wav2vec2",  # a positional convolution under weight norm
    "transformers:xlnet",  # einsum throughout
)
