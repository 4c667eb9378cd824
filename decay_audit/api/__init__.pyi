# The names that other packages take from `decay_audit.api`, and the module of each.
from .comparing import compare as compare, explain as explain, verify as verify, which as which
from .emitting import emit_target as emit_target, verify_function as verify_function, write_code as write_code
from .emitting.editing import edit_file as edit_file
from .functions import (
    assert_decay as assert_decay,
    audit as audit,
    classify as classify,
    load_rules as load_rules,
    param_groups as param_groups,
    plan as plan,
    read as read,
)
from .functions.page_parts import page_parts as page_parts
from .loading import LoadedTarget as LoadedTarget, load as load, loading_key as loading_key
from .locking.model_changes import compare_revisions as compare_revisions, compare_targets as compare_targets
from .migrating import ModelChanges as ModelChanges, migrate as migrate
from .options import DEFAULT_RULES as DEFAULT_RULES
from .pipeline import raise_on_findings as raise_on_findings, run as run
from .request import LiveModel as LiveModel, Request as Request, request_for as request_for
from .running import (
    ScriptRecording as ScriptRecording,
    ScriptResult as ScriptResult,
    ScriptRun as ScriptRun,
    audit_recording as audit_recording,
    record_script as record_script,
    recording_key as recording_key,
    run_script as run_script,
)
