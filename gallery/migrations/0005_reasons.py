from django.db import migrations

ILLEGAL, TERMS = "illegal", "terms"
DSA = "STATEMENT_CATEGORY_"
# code, label, DSA category, ground, reference, what the owner reads; 1 to 8 have a key on the desk.
REASONS = [
    ("sexual", "Sexual content", "OTHER_VIOLATION_TC", TERMS, "Terms of use: sexual content",
     "The picture shows nudity or sexual content, which is not published here."),
    ("violence", "Violence or gore", "VIOLENCE", TERMS, "Terms of use: violence",
     "The picture shows violence or injuries in a way that is not published here."),
    ("deepfake", "Real person", "CYBER_VIOLENCE", TERMS, "Terms of use: real people",
     "The picture shows a real person doing what they did not do, or looks like a photograph of a public figure."),
    ("trademark", "Brand or trademark", "INTELLECTUAL_PROPERTY_INFRINGEMENTS", TERMS, "Terms of use: rights of others",
     "The picture shows a brand, a trademark or somebody else's work."),
    ("hate", "Hate", "ILLEGAL_OR_HARMFUL_SPEECH", TERMS, "Terms of use: hate",
     "The picture attacks people for who they are."),
    ("privacy", "Private information", "DATA_PROTECTION_AND_PRIVACY_VIOLATIONS", TERMS, "Terms of use: privacy",
     "The picture or its words contain somebody's private information."),
    ("spam", "Spam or misleading", "SCAMS_AND_FRAUD", TERMS, "Terms of use: spam",
     "The picture advertises, repeats or misleads, or is not what its words say."),
    ("other", "Something else", "OTHER_VIOLATION_TC", TERMS, "Terms of use",
     "The picture does not fit what is published here; the reviewer's note says why."),
    ("csam", "Sexual abuse of children", "PROTECTION_OF_MINORS", ILLEGAL, "Directive 2011/93/EU, Article 5",
     "The picture appears to show the sexual abuse of a child. It is shut away, and the operator is told."),
    ("minor_safety", "Safety of minors", "PROTECTION_OF_MINORS", TERMS, "Terms of use: minors",
     "The picture shows a minor in a way that could harm them."),
    ("self_harm", "Self-harm", "SELF_HARM", TERMS, "Terms of use: self-harm",
     "The picture shows or encourages self-harm."),
    ("harassment", "Harassment", "CYBER_VIOLENCE", TERMS, "Terms of use: harassment",
     "The picture threatens, mocks or follows somebody."),
    ("extremism", "Extremism", "RISK_FOR_PUBLIC_SECURITY", ILLEGAL, "Regulation (EU) 2021/784, Article 2(7)",
     "The picture promotes a violent or terrorist group."),
    ("illegal_goods", "Illegal goods", "UNSAFE_AND_PROHIBITED_PRODUCTS", TERMS, "Terms of use: goods",
     "The picture offers goods or services that may not be sold."),
    ("fraud", "Fraud or impersonation", "SCAMS_AND_FRAUD", TERMS, "Terms of use: fraud",
     "The picture is made to deceive somebody, or to pass for somebody else."),
    ("provider_policy", "Provider's policy", "OTHER_VIOLATION_TC", TERMS, "The provider's terms of use",
     "The provider of the model does not allow pictures like this to be published."),
]
NOT_APPEALABLE = {"csam"}
NEEDS_TWO = {"csam", "extremism"}
REFUNDED = {"provider_policy", "minor_safety"}


def seed(apps, schema_editor):
    Reason = apps.get_model("gallery", "Reason")
    Reason.objects.using(schema_editor.connection.alias).bulk_create(
        Reason(
            code=code,
            version=1,
            position=position,
            label=label,
            dsa_category=DSA + category,
            ground=ground,
            reference=reference,
            user_text=text,
            is_appealable=code not in NOT_APPEALABLE,
            refund_policy="on_overturn" if code in REFUNDED else "none",
            needs_two=code in NEEDS_TWO,
        )
        for position, (code, label, category, ground, reference, text) in enumerate(REASONS, 1)
    )


def let_operators_review(apps, schema_editor):
    """Operators of an installation that is older than the review; of a new one accounts.operators makes the group."""
    def rows(app_label, name):
        return apps.get_model(app_label, name).objects.using(schema_editor.connection.alias)

    group = rows("auth", "Group").filter(name="Operators").first()
    if group is None:
        return
    content_type, _ = rows("contenttypes", "ContentType").get_or_create(app_label="gallery", model="review")
    permission, _ = rows("auth", "Permission").get_or_create(
        content_type=content_type, codename="review_image", defaults={"name": "Can review pictures"}
    )
    group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [
        ("gallery", "0004_review"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.RunPython(seed, migrations.RunPython.noop),
        migrations.RunPython(let_operators_review, migrations.RunPython.noop),
    ]
