"""People: they sign in with their email address."""

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.models.quota import Plan


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """A user with this address, which is stored in lower case."""
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """What createsuperuser makes: on the first plan, and with a wallet as soon as there is money for it."""
        fields.setdefault("plan", Plan.objects.order_by("pk").first())
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        return (email or "").strip().lower()

    def get_by_natural_key(self, email: str | None) -> "User":
        return self.get(email=self.normalize_email(email))


class User(AbstractBaseUser, PermissionsMixin):
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=150, blank=True)
    plan = models.ForeignKey("accounts.Plan", on_delete=models.PROTECT, related_name="users")
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    is_guest = models.BooleanField(default=False)  # on trial, known by a session alone (guests.py)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    credited_month = models.CharField(max_length=7, blank=True, default="")  # the last "2026-11" whose plan credit came
    hears_of_approvals = models.BooleanField(default=True)  # by mail; what restricts somebody is always told
    onboarding_dismissed_at = models.DateTimeField(null=True, blank=True)  # the first steps are put away for good
    # The owner has asked for it; until then signing in keeps the account (closing.py).
    erase_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True, editable=False)  # it is nobody's any more
    erased_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_any_case")]
        indexes = [
            models.Index(
                fields=["erase_at"],
                condition=Q(erase_at__isnull=False, erased_at__isnull=True),
                name="user_to_be_erased",
            )
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def initials(self) -> str:
        """One or two letters for the small circle that stands for a person."""
        words = (self.name or self.email.partition("@")[0]).replace(".", " ").split()
        return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()
