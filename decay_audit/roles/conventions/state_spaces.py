"""Names of the tensors of a state space. Upper and lower case matter: `B` is a matrix and `b` is a bias."""

from decay_audit.roles.conventions.convention import Convention, class_vocabulary

DISCRETIZATION = class_vocabulary(
    Convention(
        words=("^log_dt$", "^inv_dt$", "^A_real$", "^A_imag$", "^log_A_real$", "^inv_A_real$"),
        source="state-spaces/s4: SSMKernelDiag, SSMKernelDPLR (Gu et al., 2022)",
        matches=("log_dt", "inv_dt", "A_real", "A_imag", "log_A_real", "inv_A_real"),
        near_misses=("log_std", "A_proj", "a_real"),
    ),
    Convention(
        words=("^A_log", "^dt_bias$", "^A_b_log$"),
        source="mamba_ssm.modules.mamba2.Mamba2; VMamba: SS2D; Vim: mamba_ssm.modules.mamba_simple with bimamba",
        matches=("A_log", "A_logs", "dt_bias", "A_b_log"),
        near_misses=("a_log", "dt_proj_bias"),
    ),
    Convention(
        words=("^log_step$", "^Lambda"),
        source="S5 (Smith et al., 2023): S5SSM; i404788/s5-pytorch",
        matches=("log_step", "Lambda", "Lambda_re"),
        near_misses=("log_steps", "lambda_1"),
    ),
    Convention(
        words=("^nu_log$", "^theta_log$"),
        source="LRU (Orvieto et al., 2023)",
        matches=("nu_log", "theta_log"),
        near_misses=("mu_log", "theta"),
    ),
)
"""Names of eigenvalues and step sizes: a module with such a tensor is a state space."""

SYSTEM = class_vocabulary(
    Convention(
        words=("^A$", "^B$", "^C$", "^D$", "^P$"),
        source="state-spaces/s4: SSMKernelDPLR (Gu et al., 2022)",
        matches=("A", "B", "C", "D", "P"),
        near_misses=("b", "AB", "D_proj"),
    ),
    Convention(
        words=("^A_*re", "^B_*re", "^C_*re", "^A_*im", "^B_*im", "^C_*im"),
        source="LRU (Orvieto et al., 2023): real and imaginary parts",
        matches=("A_re", "B_re", "C_real", "A_im", "B_im", "C_imag"),
        near_misses=("B_weight", "b_re"),
    ),
    Convention(
        words=("^C1$", "^C2$", "^C_tilde", "^B_bar$"),
        source="S5 (Smith et al., 2023): S5SSM",
        matches=("C1", "C2", "C_tilde", "C_tilde1", "B_bar"),
        near_misses=("C3", "tilde"),
    ),
    Convention(
        words=("^B_bias$", "^C_bias$", "^D_b$", "^Ds$"),
        source="mamba_ssm.modules.mamba3.Mamba3; Vim: mamba_ssm.modules.mamba_simple; VMamba: SS2D",
        matches=("B_bias", "C_bias", "D_b", "Ds"),
        near_misses=("D_bias", "ds"),
    ),
    Convention(
        words=("^gamma_log$", "^log_gamma$"),
        source="LRU (Orvieto et al., 2023)",
        matches=("gamma_log", "log_gamma"),
        near_misses=("gamma",),
    ),
)
"""Names of other tensors of a state space: they count only beside eigenvalues or step sizes, or in such a class."""

STATE_SPACE_CLASS = class_vocabulary(
    Convention(
        words=("SSM", "^S4", "^S5", "StateSpace", "^LRU"),
        source="state-spaces/s4: S4D, S4Block; i404788/s5-pytorch: S5; LRU (Orvieto et al., 2023)",
        matches=("HSMSSM", "S4D", "S5", "LinearStateSpace", "LRULayer"),
        near_misses=("ResNetS4", "ReLU", "SSD"),
    ),
)
"""Names of classes that are state spaces."""

TOKEN_SHIFT = class_vocabulary(
    Convention(
        words=("^x_r$", "^x_w$", "^x_k$", "^x_v$", "^x_a$", "^x_g$"),
        source="RWKV-LM: RWKV_Tmix_x070 (Peng et al., 2025)",
        matches=("x_r", "x_w", "x_k", "x_v", "x_a", "x_g"),
        near_misses=("x_proj", "X_k"),
    ),
)
"""Names of tensors that hold the share of the previous token, for each channel."""

TIME_MIX = class_vocabulary(
    Convention(
        words=("^w0$", "^a0$", "^v0$", "^k_k$", "^k_a$", "^r_k$"),
        source="RWKV-LM: RWKV_Tmix_x070 (Peng et al., 2025)",
        matches=("w0", "a0", "v0", "k_k", "k_a", "r_k"),
        near_misses=("w1", "a2", "k_v"),
    ),
)
"""Names of base values and bonuses of the recurrence; they count only beside a token shift."""

TIME_MIX_FACTOR = class_vocabulary(
    Convention(
        words=("^w1$", "^w2$", "^a1$", "^a2$", "^v1$", "^v2$", "^g1$", "^g2$"),
        source="RWKV-LM: RWKV_Tmix_x070 (Peng et al., 2025)",
        matches=("w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2"),
        near_misses=("w0", "g", "a3"),
    ),
)
"""Names of the two factors of a matrix of low rank; they count only beside a token shift."""
