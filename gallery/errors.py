"""What may go wrong with kept pictures, beside the errors that every app shares."""

from accounts.errors import Conflict, Forbidden, ServiceError, ServiceUnavailable


class ObjectsAway(OSError):
    """The bucket of the pictures does not answer, or refuses what was asked of it."""


class UploadTooLarge(ServiceError):
    """More bytes or pixels than an upload may have."""

    code = "upload_too_large"
    status = 413
    title = "The picture is too large"
    message = "This picture is too large."
    remedy = "Send one still picture of up to 32 MiB and 24 megapixels."


class UploadNotAPicture(ServiceError):
    """The bytes of an upload are no picture that we read, whatever its name says."""

    code = "upload_not_a_picture"
    status = 415
    title = "This is no picture that can be read"
    message = "This file is no PNG, JPEG or WebP picture."
    remedy = "Send one still picture as PNG, JPEG or WebP."


class PictureUnavailable(ServiceUnavailable):
    """The original's bytes are not where the database says: a volume that is not mounted, or a loss (verifyblobs)."""

    code = "picture_unavailable"
    title = "The picture cannot be read"
    message = "The bytes of this picture cannot be read just now."
    remedy = "Try again in a little while. If it happens again, tell the operator the request id."


class StorageUnavailable(ServiceUnavailable):
    """Nothing can be kept just now: a full disk, or a bucket that is away."""

    code = "storage_unavailable"
    title = "The picture cannot be kept"
    message = "The picture cannot be kept just now. Nothing was stored."
    remedy = "Try again in a little while. If it happens again, tell the operator the request id."


class RenditionUnavailable(ServiceUnavailable):
    """A smaller or converted copy could not be made; the original is not touched by that."""

    code = "rendition_unavailable"
    title = "This copy of the picture could not be made"
    message = "This copy of the picture could not be made. The original is there."
    remedy = "Ask for variant=original without a format, or try again later."


class PromptRejected(ServiceError):
    """A rule of the prompt filter blocks a text; `errors` names the fields, the facts say which rule, and where."""

    code = "prompt_rejected"
    status = 422
    title = "A rule of this site refuses the text"
    message = "A rule of this site refuses this text."
    remedy = "Change the words that are marked and send it again. Nothing was held or charged."


class PictureRejected(ServiceError):
    """A picture that is brought along was refused here for a category that a rule names, or looks like one that was."""

    code = "picture_rejected"
    status = 422
    title = "A rule of this site refuses the picture"
    message = "A rule of this site refuses this picture."
    remedy = "Use another picture. Nothing was stored, held or charged."


class ReviewConflict(Conflict):
    """Somebody was faster; `decided_by` names who, unless the owner asks."""

    title = "It has been decided meanwhile"
    message = "This picture has been decided meanwhile."
    remedy = "Look at it again: it may need nothing more."


class ClaimLost(Conflict):
    """A reviewer's lease has run out, or somebody else holds the picture."""

    code = "claim_lost"
    title = "You do not hold this picture"
    message = "Your claim on this picture has run out."
    remedy = "Claim it again and look at it once more."


class SecondPersonNeeded(Forbidden):
    """The same person cannot decide twice where two people must agree, nor over their own picture or decision."""

    code = "second_person_needed"
    title = "Somebody else must decide this"
    message = "Somebody else must decide this."
    remedy = "Leave it to another reviewer."
